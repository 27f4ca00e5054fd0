//! What must hold of every document, asked of the finished HTML.

use super::{Look, SCRIPT};

/// The real styles.
pub const LOOK: Look = Look {
    css: concat!(
        include_str!("../../../style/tokens.css"),
        include_str!("../../../style/base.css"),
        include_str!("../../../style/public.css"),
    ),
};

/// Complete, loads nothing, and what people wrote is no markup.
pub fn is_sound(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">") && html.ends_with("</html>"));
    assert_eq!(html.matches("<!").count(), 1, "marks are left");
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains(&format!("<script>{SCRIPT}</script>")));
    for loads in
        ["<script src", "<link rel=\"stylesheet", "<img", "@import", "url(", "srcset", "<iframe", " style=\""]
    {
        assert!(!html.contains(loads), "{loads}");
    }
    // What a browser loads by itself, it loads by these.
    for tag in html.split('<').filter(|tag| tag.starts_with("link") || tag.contains(" src=")) {
        assert!(tag.starts_with("link rel=\"icon\" href=\"data:"), "{tag}");
    }
    let ids: Vec<_> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(ids.len(), unique.len(), "an id stands twice: {ids:?}");
}

/// The first round trips of a connection carry 14 kB.
pub fn is_small(html: &str) {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 9, ..Default::default() };
    brotli::BrotliCompress(&mut html.as_bytes(), &mut packed, &params).unwrap();
    assert!(packed.len() <= 14_000, "{} bytes compressed", packed.len());
}

/// What a reader sees: tags gone, entities back, spaces single.
pub fn text(html: &str) -> String {
    let main = html.split_once("<main").map_or(html, |(_, main)| main);
    let main = main.split_once("</main>").map_or(main, |(main, _)| main);
    let bare: String = main
        .split('<')
        .map(|part| part.split_once('>').map_or("", |(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ");
    let bare = bare.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}
