//! What the gateway has done since this process began, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use super::{Gateway, Site, lane::Lane};
use crate::http::metrics::Page;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Default)]
pub struct Figures {
    answers: [AtomicU64; CLASSES.len()],
    pub connections: AtomicU64,
}

impl Figures {
    pub fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.answers[class].fetch_add(1, Ordering::Relaxed);
    }
}

pub fn into(page: &mut Page, gateway: &Gateway) {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    page.family("salvor_gateway_answers", "counter", "Answers to requests for files.");
    for (class, count) in CLASSES.iter().zip(&gateway.figures.answers) {
        page.sample("salvor_gateway_answers_total", &[("status", class)], read(count));
    }
    page.family("salvor_gateway_connections", "gauge", "Connections that are open.");
    page.sample("salvor_gateway_connections", &[], read(&gateway.figures.connections));
    if let Some(cache) = gateway.cache.get().and_then(Option::as_ref) {
        let (bytes, files) = cache.holds();
        page.family("salvor_gateway_cache_bytes", "gauge", "Bytes of files that the cache holds.");
        page.sample("salvor_gateway_cache_bytes", &[], bytes);
        page.family("salvor_gateway_cache_files", "gauge", "Files that the cache holds.");
        page.sample("salvor_gateway_cache_files", &[], files);
    }
    page.family(
        "salvor_gateway_raised_files",
        "counter",
        "Lost files that were asked for and moved to the front of a restore.",
    );
    page.sample("salvor_gateway_raised_files_total", &[], read(&gateway.errands.moved));
    page.family(
        "salvor_gateway_dropped_errands",
        "counter",
        "Wishes and faults that were too many to be kept.",
    );
    page.sample("salvor_gateway_dropped_errands_total", &[], read(&gateway.errands.dropped));
    page.family(
        "salvor_gateway_dropped_log_lines",
        "counter",
        "Lines of the access log that could not be written.",
    );
    page.sample("salvor_gateway_dropped_log_lines_total", &[], read(&gateway.log.dropped));
    let lanes =
        || gateway.sites.iter().flat_map(|site| lanes(site).map(move |lane| (site.name.as_str(), lane)));
    page.family("salvor_gateway_files", "counter", "Files, or parts of them, that the source gave.");
    for (volume, lane) in lanes() {
        let labels = [("volume", volume), ("source", lane.name.as_str())];
        page.sample("salvor_gateway_files_total", &labels, read(&lane.counts.files));
    }
    page.family("salvor_gateway_bytes", "counter", "Bytes that the source gave.");
    for (volume, lane) in lanes() {
        let labels = [("volume", volume), ("source", lane.name.as_str())];
        page.sample("salvor_gateway_bytes_total", &labels, read(&lane.counts.bytes));
    }
    page.family(
        "salvor_gateway_misses",
        "counter",
        "Times that the source did not give a file that it was asked for.",
    );
    for (volume, lane) in lanes() {
        let counts = &lane.counts;
        let misses = [
            ("absent", &counts.absent),
            ("error", &counts.broken),
            ("silent", &counts.silent),
            ("wrong", &counts.wrong),
        ];
        for (why, count) in misses {
            let labels = [("volume", volume), ("source", lane.name.as_str()), ("why", why)];
            page.sample("salvor_gateway_misses_total", &labels, read(count));
        }
    }
    page.family("salvor_gateway_left_alone", "gauge", "1 while the source fails and is not asked.");
    for (volume, lane) in lanes() {
        let labels = [("volume", volume), ("source", lane.name.as_str())];
        page.sample("salvor_gateway_left_alone", &labels, u8::from(lane.is_left_alone()));
    }
}

fn lanes(site: &Site) -> impl Iterator<Item = &Lane> {
    [&site.primary, &site.cache].into_iter().chain(site.copies.iter().map(|copy| &copy.lane))
}
