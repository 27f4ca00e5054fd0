//! Pictures out of gradients and simple shapes, with a little grain: worth looking at as thumbnails, and cheap to make
//! even in a debug build, since everything is filled in whole spans.

use super::dice::Dice;
use std::f32::consts::TAU;
use std::io;

type Colour = [u8; 3];

/// What a photograph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    Hills,
    Sea,
    Flowers,
    Houses,
    Plate,
}

/// A photograph, as JPEG.
pub fn photo(scene: Scene, dice: &mut Dice) -> io::Result<Vec<u8>> {
    let (width, height) = *dice.pick(&[(360, 240), (320, 213), (300, 200), (270, 180), (200, 300)]);
    let mut canvas = Canvas::new(width, height);
    match scene {
        Scene::Hills => hills(&mut canvas, dice),
        Scene::Sea => sea(&mut canvas, dice),
        Scene::Flowers => flowers(&mut canvas, dice),
        Scene::Houses => houses(&mut canvas, dice),
        Scene::Plate => plate(&mut canvas, dice),
    }
    canvas.grain(dice);
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 84);
    encoder
        .encode(canvas.pixels.as_flattened(), width as u16, height as u16, jpeg_encoder::ColorType::Rgb)
        .map_err(io::Error::other)?;
    Ok(bytes)
}

/// An emblem on a plain ground, as PNG.
pub fn logo(dice: &mut Dice) -> io::Result<Vec<u8>> {
    const SIZE: usize = 160;
    // Painted twice as large and averaged: round shapes get smooth edges.
    let mut canvas = Canvas::new(SIZE * 2, SIZE * 2);
    emblem(&mut canvas, dice);
    let smooth = canvas.halved();

    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIZE as u32, SIZE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(smooth.pixels.as_flattened())?;
    writer.finish()?;
    Ok(bytes)
}

fn hills(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = canvas.size();
    let (sky, land) = (dice.between(0.54, 0.74), dice.between(-0.08, 0.45));
    let haze = dice.between(0.02, 0.13);
    canvas.gradient(0.0, h * 0.6, hsl(sky, 0.55, 0.45), hsl(haze, 0.75, 0.82));
    canvas.sun(dice.between(0.2, 0.8) * w, dice.between(0.15, 0.4) * h, h * 0.07);
    let ridges = 4;
    for ridge in 0..ridges {
        let near = ridge as f32 / (ridges - 1) as f32;
        let base = h * (0.45 + 0.16 * ridge as f32);
        let colour = hsl(land, 0.2 + 0.2 * near, 0.64 - 0.44 * near);
        let (long, short) = (dice.between(0.6, 1.4), dice.between(2.0, 5.0));
        let (turn, tilt) = (dice.between(0.0, TAU), dice.between(0.0, TAU));
        canvas.ground(colour, |x| {
            let x = x / w * TAU;
            base + h * 0.07 * (x * long + turn).sin() + h * 0.02 * (x * short + tilt).sin()
        });
        if ridge + 1 == ridges {
            for _ in 0..14 {
                let (x, tall) = (dice.between(0.0, w), h * dice.between(0.08, 0.2));
                let foot = base + h * 0.09;
                canvas.triangle(
                    [(x, foot - tall), (x - tall / 4.0, foot), (x + tall / 4.0, foot)],
                    hsl(land, 0.4, 0.13),
                );
            }
        }
    }
}

fn sea(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = canvas.size();
    let horizon = h * dice.between(0.42, 0.58);
    let dusk = dice.between(0.0, 1.0);
    let warm = hsl(0.05 + 0.06 * dusk, 0.8, 0.78);
    canvas.gradient(0.0, horizon, hsl(0.56 + 0.1 * dusk, 0.5, 0.5), warm);
    let sun_x = w * dice.between(0.25, 0.75);
    canvas.sun(sun_x, horizon - h * dice.between(0.05, 0.2), h * 0.06);
    let (edge, rise) = (w * dice.between(0.2, 0.5), h * dice.between(0.04, 0.1));
    let left = dice.roll().is_multiple_of(2);
    let land = hsl(0.6, 0.25, 0.3);
    let far = if left {
        [(0.0, horizon - rise), (edge, horizon), (0.0, horizon)]
    } else {
        [(w, horizon - rise), (w - edge, horizon), (w, horizon)]
    };
    canvas.triangle(far, land);
    canvas.gradient(horizon, h, hsl(0.54, 0.45, 0.5), hsl(0.58, 0.6, 0.2));
    for _ in 0..120 {
        let depth = dice.between(0.0, 1.0);
        let y = horizon + (h - horizon) * depth;
        let spread = w * (0.04 + 0.2 * depth);
        let x = sun_x + dice.between(-spread, spread);
        canvas.span(y, x, x + w * (0.01 + 0.05 * depth), warm, 0.55);
    }
    for _ in 0..dice.range(1, 4) {
        let depth = dice.between(0.1, 0.6);
        let (x, y) = (w * dice.between(0.1, 0.9), horizon + (h - horizon) * depth);
        let size = h * (0.06 + 0.2 * depth);
        canvas.triangle(
            [(x, y - size * 1.5), (x, y - size * 0.15), (x + size * 0.7, y - size * 0.15)],
            [246, 242, 232],
        );
        canvas.triangle(
            [
                (x - size * 0.06, y - size * 1.2),
                (x - size * 0.06, y - size * 0.15),
                (x - size * 0.5, y - size * 0.15),
            ],
            [224, 214, 200],
        );
        for step in 0..(size * 0.25) as i32 {
            let inset = step as f32;
            canvas.span(
                y - size * 0.1 + inset,
                x - size * 0.6 + inset,
                x + size * 0.7 - inset,
                hsl(dusk, 0.6, 0.3),
                1.0,
            );
        }
    }
}

fn flowers(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = canvas.size();
    canvas.gradient(0.0, h, hsl(0.28, 0.35, 0.45), hsl(0.34, 0.5, 0.16));
    for _ in 0..26 {
        let colour = hsl(dice.between(0.14, 0.4), 0.5, dice.between(0.4, 0.75));
        canvas.disc(dice.between(0.0, w), dice.between(0.0, h), h * dice.between(0.03, 0.13), colour, 0.18);
    }
    let hue = dice.between(0.75, 1.2);
    for _ in 0..dice.range(4, 8) {
        let (x, y) = (w * dice.between(0.1, 0.9), h * dice.between(0.2, 0.7));
        let size = h * dice.between(0.07, 0.14);
        canvas.triangle([(x - 2.0, y), (x + 2.0, y), (x + size * 0.4, h)], hsl(0.32, 0.5, 0.25));
        let petals = dice.range(6, 10);
        let (turn, tint) = (dice.between(0.0, TAU), hue + dice.between(-0.05, 0.05));
        for petal in 0..petals {
            let angle = turn + TAU * petal as f32 / petals as f32;
            let light = 0.55 + 0.12 * angle.sin();
            canvas.disc(
                x + angle.cos() * size * 0.75,
                y + angle.sin() * size * 0.75,
                size * 0.46,
                hsl(tint, 0.7, light),
                1.0,
            );
        }
        canvas.disc(x, y, size * 0.4, hsl(0.13, 0.85, 0.52), 1.0);
        canvas.disc(x - size * 0.1, y - size * 0.1, size * 0.2, hsl(0.14, 0.9, 0.65), 1.0);
    }
}

fn houses(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = canvas.size();
    let night = dice.between(0.0, 1.0);
    let ground = h * 0.82;
    canvas.gradient(0.0, ground, hsl(0.6, 0.45, 0.7 - 0.45 * night), hsl(0.08, 0.6, 0.88 - 0.3 * night));
    canvas.gradient(ground, h, [120, 116, 112], [70, 68, 70]);
    let mut x = -w * dice.between(0.0, 0.1);
    while x < w {
        let wide = w * dice.between(0.14, 0.24);
        let top = h * dice.between(0.3, 0.5);
        canvas.rectangle(x, top, x + wide, ground, hsl(dice.between(0.0, 0.16), 0.4, 0.7 - 0.3 * night));
        let roof = hsl(dice.between(0.0, 0.08), 0.5, 0.36 - 0.12 * night);
        canvas.triangle([(x - 3.0, top), (x + wide + 3.0, top), (x + wide / 2.0, top - wide * 0.45)], roof);
        let (across, down) = (dice.range(2, 4), dice.range(2, 4));
        for column in 0..across {
            for row in 0..down {
                let (cell_w, cell_h) = (wide / across as f32, (ground - top) / (down as f32 + 0.6));
                let (left, high) = (x + cell_w * (column as f32 + 0.25), top + cell_h * (row as f32 + 0.25));
                let lit = dice.between(0.0, 1.0) < night;
                let glass = if lit { [255, 221, 138] } else { hsl(0.58, 0.35, 0.6 - 0.35 * night) };
                canvas.rectangle(
                    left - 1.5,
                    high - 1.5,
                    left + cell_w * 0.5 + 1.5,
                    high + cell_h * 0.55 + 1.5,
                    [238, 232, 222],
                );
                canvas.rectangle(left, high, left + cell_w * 0.5, high + cell_h * 0.55, glass);
            }
        }
        x += wide;
    }
    for lamp in 0..3 {
        let x = w * (0.2 + 0.3 * lamp as f32);
        canvas.rectangle(x - 1.5, h * 0.6, x + 1.5, h * 0.9, [40, 42, 48]);
        canvas.disc(x, h * 0.58, h * 0.09, [255, 226, 150], 0.3 * night);
        canvas.disc(x, h * 0.58, h * 0.025, [255, 240, 200], 1.0);
    }
}

fn plate(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, h) = canvas.size();
    canvas.gradient(0.0, h, [168, 122, 82], [120, 80, 50]);
    for _ in 0..60 {
        let y = dice.between(0.0, h);
        canvas.span(y, 0.0, w, hsl(0.07, 0.4, dice.between(0.2, 0.55)), 0.2);
    }
    let (x, y, r) = (w * dice.between(0.42, 0.58), h * dice.between(0.46, 0.56), w.min(h) * 0.4);
    canvas.disc(x + 5.0, y + 7.0, r, [50, 30, 20], 0.4);
    canvas.disc(x, y, r, [244, 243, 239], 1.0);
    canvas.disc(x, y, r * 0.74, [228, 226, 220], 1.0);
    canvas.disc(x, y, r * 0.71, [249, 248, 245], 1.0);
    let hue = dice.between(0.0, 0.12);
    for _ in 0..dice.range(5, 10) {
        let (angle, away) = (dice.between(0.0, TAU), r * dice.between(0.0, 0.4));
        let (cx, cy, size) = (x + angle.cos() * away, y + angle.sin() * away, r * dice.between(0.12, 0.26));
        let tint = hue + dice.between(-0.03, 0.06);
        canvas.disc(cx + 2.0, cy + 3.0, size, [90, 60, 40], 0.35);
        canvas.disc(cx, cy, size, hsl(tint, 0.65, 0.42), 1.0);
        canvas.disc(cx - size * 0.2, cy - size * 0.25, size * 0.6, hsl(tint, 0.7, 0.55), 0.7);
    }
    for _ in 0..9 {
        let (angle, away) = (dice.between(0.0, TAU), r * dice.between(0.1, 0.55));
        canvas.disc(x + angle.cos() * away, y + angle.sin() * away, r * 0.04, hsl(0.3, 0.6, 0.35), 1.0);
    }
    let (cup_x, cup_y, cup) = (w * 0.9, h * 0.12, r * 0.35);
    canvas.disc(cup_x, cup_y, cup, [240, 238, 232], 1.0);
    canvas.disc(cup_x, cup_y, cup * 0.8, [92, 54, 30], 1.0);
    canvas.disc(cup_x - cup * 0.15, cup_y - cup * 0.15, cup * 0.45, [150, 98, 60], 0.6);
}

fn emblem(canvas: &mut Canvas, dice: &mut Dice) {
    let (w, _) = canvas.size();
    let (hue, middle) = (dice.between(0.0, 1.0), w / 2.0);
    let (ground, dark, bright) = (hsl(hue, 0.35, 0.94), hsl(hue, 0.5, 0.28), hsl(hue + 0.5, 0.65, 0.55));
    canvas.gradient(0.0, w, ground, hsl(hue, 0.4, 0.86));
    canvas.disc(middle, middle, w * 0.42, dark, 1.0);
    canvas.disc(middle, middle, w * 0.38, ground, 1.0);
    let spokes = dice.range(3, 9);
    let (turn, away) = (dice.between(0.0, TAU), w * dice.between(0.12, 0.22));
    for spoke in 0..spokes {
        let angle = turn + TAU * spoke as f32 / spokes as f32;
        let (x, y) = (middle + angle.cos() * away, middle + angle.sin() * away);
        canvas.disc(x, y, w * 0.1, if spoke % 2 == 0 { bright } else { dark }, 0.85);
    }
    canvas.disc(middle, middle, w * 0.09, ground, 1.0);
    canvas.disc(middle, middle, w * 0.06, dark, 1.0);
}

struct Canvas {
    width: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, pixels: vec![[0; 3]; width * height] }
    }

    fn size(&self) -> (f32, f32) {
        (self.width as f32, (self.pixels.len() / self.width) as f32)
    }

    /// Everything is painted through this: a horizontal run, clipped to the canvas.
    fn span(&mut self, y: f32, from: f32, to: f32, colour: Colour, opacity: f32) {
        let (width, height) = self.size();
        if !(0.0..height).contains(&y) {
            return;
        }
        let row = y as usize * self.width;
        let (from, to) = (from.round().clamp(0.0, width) as usize, to.round().clamp(0.0, width) as usize);
        if from >= to {
            return;
        }
        let run = &mut self.pixels[row + from..row + to];
        if opacity >= 1.0 {
            run.fill(colour);
        } else {
            run.iter_mut().for_each(|pixel| *pixel = mix(*pixel, colour, opacity));
        }
    }

    fn gradient(&mut self, top: f32, bottom: f32, first: Colour, last: Colour) {
        let width = self.size().0;
        for y in top as i32..bottom.ceil() as i32 {
            let share = (y as f32 - top) / (bottom - top);
            self.span(y as f32, 0.0, width, mix(first, last, share), 1.0);
        }
    }

    fn rectangle(&mut self, left: f32, top: f32, right: f32, bottom: f32, colour: Colour) {
        for y in top as i32..bottom as i32 {
            self.span(y as f32, left, right, colour, 1.0);
        }
    }

    fn disc(&mut self, x: f32, y: f32, radius: f32, colour: Colour, opacity: f32) {
        for row in (y - radius).floor() as i32..=(y + radius) as i32 {
            let up = row as f32 + 0.5 - y;
            let half = (radius * radius - up * up).max(0.0).sqrt();
            self.span(row as f32, x - half, x + half, colour, opacity);
        }
    }

    fn triangle(&mut self, corners: [(f32, f32); 3], colour: Colour) {
        let ys = corners.map(|corner| corner.1);
        let (top, bottom) =
            (ys.iter().copied().fold(f32::MAX, f32::min), ys.iter().copied().fold(f32::MIN, f32::max));
        for row in top as i32..=bottom as i32 {
            let y = row as f32 + 0.5;
            let (mut from, mut to) = (f32::MAX, f32::MIN);
            for at in 0..3 {
                let ((x1, y1), (x2, y2)) = (corners[at], corners[(at + 1) % 3]);
                if (y1 <= y) != (y2 <= y) {
                    let x = x1 + (x2 - x1) * (y - y1) / (y2 - y1);
                    (from, to) = (from.min(x), to.max(x));
                }
            }
            self.span(row as f32, from, to, colour, 1.0);
        }
    }

    /// Fills everything below a skyline.
    fn ground(&mut self, colour: Colour, skyline: impl Fn(f32) -> f32) {
        let width = self.width;
        let height = self.pixels.len() / width;
        for x in 0..width {
            let top = skyline(x as f32).clamp(0.0, height as f32) as usize;
            for y in top..height {
                self.pixels[y * width + x] = colour;
            }
        }
    }

    fn sun(&mut self, x: f32, y: f32, radius: f32) {
        for ring in (1..=6).rev() {
            self.disc(x, y, radius * (1.0 + 0.45 * ring as f32), [255, 244, 214], 0.08);
        }
        self.disc(x, y, radius, [255, 248, 226], 1.0);
    }

    /// A sensor's noise: without it these pictures would be a few kilobytes each.
    fn grain(&mut self, dice: &mut Dice) {
        for run in self.pixels.chunks_mut(16) {
            let mut word = dice.roll();
            for pixel in run {
                let noise = (word & 15) as i16 - 7;
                word >>= 4;
                *pixel = pixel.map(|channel| (i16::from(channel) + noise).clamp(0, 255) as u8);
            }
        }
    }

    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.pixels.len() / self.width / 2);
        let mut half = Self::new(width, height);
        for y in 0..height {
            for x in 0..width {
                let at = 2 * y * self.width + 2 * x;
                let four = [at, at + 1, at + self.width, at + self.width + 1].map(|at| self.pixels[at]);
                let mean =
                    |channel: usize| (four.iter().map(|p| u16::from(p[channel])).sum::<u16>() / 4) as u8;
                half.pixels[y * width + x] = [mean(0), mean(1), mean(2)];
            }
        }
        half
    }
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    let share = (share.clamp(0.0, 1.0) * 256.0) as i32;
    let one = |a: u8, b: u8| (i32::from(a) + (i32::from(b) - i32::from(a)) * share / 256) as u8;
    [one(a[0], b[0]), one(a[1], b[1]), one(a[2], b[2])]
}

/// Hue in turns, any number; saturation and lightness in 0..=1.
fn hsl(hue: f32, saturation: f32, lightness: f32) -> Colour {
    let reach = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let k = (offset + hue.rem_euclid(1.0) * 12.0) % 12.0;
        ((lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)) * 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_where_they_belong() {
        assert_eq!(hsl(0.0, 1.0, 0.5), [255, 0, 0]);
        assert_eq!(hsl(1.0 / 3.0, 1.0, 0.5), [0, 255, 0]);
        assert_eq!(hsl(-1.0 / 3.0, 1.0, 0.5), [0, 0, 255]);
        assert_eq!(hsl(0.4, 0.0, 1.0), [255; 3]);
    }

    #[test]
    fn shapes_outside_the_canvas_paint_nothing() {
        let mut canvas = Canvas::new(4, 4);
        canvas.disc(-50.0, -50.0, 10.0, [255; 3], 1.0);
        canvas.triangle([(9.0, 9.0), (20.0, 9.0), (9.0, 20.0)], [255; 3]);
        canvas.span(f32::NAN, 0.0, 4.0, [255; 3], 1.0);
        assert!(canvas.pixels.iter().all(|pixel| *pixel == [0; 3]));
        canvas.disc(2.0, 2.0, 50.0, [255; 3], 1.0);
        assert!(canvas.pixels.iter().all(|pixel| *pixel == [255; 3]));
    }

    #[test]
    fn every_scene_is_a_whole_jpeg() {
        for scene in [Scene::Hills, Scene::Sea, Scene::Flowers, Scene::Houses, Scene::Plate] {
            let bytes = photo(scene, &mut Dice::new(1)).unwrap();
            assert!(bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.ends_with(&[0xff, 0xd9]), "{scene:?}");
            assert!((2_000..80_000).contains(&bytes.len()), "{scene:?}: {}", bytes.len());
        }
    }

    #[test]
    fn a_logo_decodes() {
        let bytes = logo(&mut Dice::new(1)).unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height), (160, 160));
        assert!(pixels.iter().any(|channel| *channel != pixels[0]));
    }
}
