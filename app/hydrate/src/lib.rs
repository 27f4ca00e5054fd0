//! The wasm entry point. Naming `salvor_app` links its islands in: without it they vanish silently.

use salvor_app as _;

#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_islands();
}
