//! Short tunes as WAV: 16 bits, one channel, plucked notes of a pentatonic scale.

use super::dice::Dice;
use std::f32::consts::TAU;

const SAMPLES_PER_SECOND: u32 = 11_025;
const SCALE_HZ: [f32; 5] = [220.0, 246.94, 277.18, 329.63, 369.99];

pub fn tune(dice: &mut Dice) -> Vec<u8> {
    let notes = dice.range(6, 10) as usize;
    let note_samples = SAMPLES_PER_SECOND as usize * 3 / 10;
    let mut wave = vec![0.0_f32; notes * note_samples + SAMPLES_PER_SECOND as usize / 3];
    for note in 0..notes {
        let octave = if dice.roll().is_multiple_of(3) { 2.0 } else { 1.0 };
        pluck(&mut wave[note * note_samples..], dice.pick(&SCALE_HZ) * octave);
    }
    encode(&wave)
}

/// A note and its first overtone, dying away over two thirds of a second.
fn pluck(wave: &mut [f32], hertz: f32) {
    let rate = SAMPLES_PER_SECOND as f32;
    for (at, sample) in wave.iter_mut().take(SAMPLES_PER_SECOND as usize * 2 / 3).enumerate() {
        let seconds = at as f32 / rate;
        let attack = (seconds * 200.0).min(1.0);
        let phase = TAU * hertz * seconds;
        *sample += 0.3 * attack * (-6.0 * seconds).exp() * (phase.sin() + 0.4 * (2.0 * phase).sin());
    }
}

fn encode(wave: &[f32]) -> Vec<u8> {
    let data_bytes = wave.len() as u32 * 2;
    let mut out = Vec::with_capacity(44 + wave.len() * 2);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16_u32.to_le_bytes());
    let (pcm, channels, frame_bytes, bits) = (1_u16, 1_u16, 2_u16, 16_u16);
    out.extend_from_slice(&pcm.to_le_bytes());
    out.extend_from_slice(&channels.to_le_bytes());
    out.extend_from_slice(&SAMPLES_PER_SECOND.to_le_bytes());
    out.extend_from_slice(&(SAMPLES_PER_SECOND * u32::from(frame_bytes)).to_le_bytes());
    out.extend_from_slice(&frame_bytes.to_le_bytes());
    out.extend_from_slice(&bits.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&data_bytes.to_le_bytes());
    for sample in wave {
        out.extend_from_slice(&((sample.clamp(-1.0, 1.0) * 32_000.0) as i16).to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_the_truth() {
        let wav = tune(&mut Dice::new(1));
        let word = |at: usize| u32::from_le_bytes(wav[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&wav[..4], &wav[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
        assert_eq!(word(4), wav.len() - 8);
        assert_eq!(word(40), wav.len() - 44);
        assert!(wav[44..].iter().any(|byte| *byte != 0));
    }
}
