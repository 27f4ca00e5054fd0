//! A file system that does not answer: slow at first, and said to be; then it hangs, and its volume trips.

use super::*;

#[test]
fn what_is_slow_is_told_of_and_only_what_hangs_trips() {
    const PATIENCE: Duration = Duration::from_secs(6);
    let Some(mut place) = Place::on_ext4("errors=remount-ro") else { return };
    place.configure(Section::Health, &format!("patience = \"{}s\"", PATIENCE.as_secs()));
    let before = place.in_service();
    let frozen = Instant::now();
    if !place.disk().freeze() {
        return;
    }
    let slow = place.until_signal("it is called slow", "canary", |signal| signal["level"] == "warning");
    assert!(
        slow["reason"].as_str().unwrap().contains("slow, or busy; after 6 s it counts as hanging"),
        "{slow}"
    );
    let tripped = place.trips_after(frozen + PATIENCE);
    assert!(frozen.elapsed() >= PATIENCE, "{tripped}");
    assert!(tripped["reason"].as_str().unwrap().contains("whatever touches it waits"), "{tripped}");
    assert!(place.disk().thaw());
    place.until_signal("it answers again", "canary", |signal| {
        signal["reason"].to_string().contains("read back")
    });
    place.done(&["check", "uploads", "--full"]);
    place.back_to_normal();
    assert!(place.files() == before);
}
