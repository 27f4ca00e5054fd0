//! Tables: the frame in which a wide one scrolls, a caption for whoever cannot see it, and a head.

use leptos::prelude::*;

/// A column by its name.
#[derive(Clone, Copy)]
pub enum Column {
    Text(&'static str),
    /// Stands to the right.
    Number(&'static str),
}

/// A table whose rows are its children. On a phone a row becomes a card, and each cell says its column by `data-label`.
#[component]
pub fn Table(
    caption: &'static str,
    columns: &'static [Column],
    /// The caption is read by everybody.
    #[prop(optional)]
    captioned: bool,
    /// As wide as what is in it.
    #[prop(optional)]
    fit: bool,
    /// Stays a table on a phone: its cells have no labels.
    #[prop(optional)]
    plain: bool,
    children: Children,
) -> impl IntoView {
    let class = match (plain, fit) {
        (true, _) => None,
        (false, true) => Some("cards fit"),
        (false, false) => Some("cards"),
    };
    let head: Vec<_> = columns
        .iter()
        .map(|&column| match column {
            Column::Text(name) => view! { <th scope="col">{name}</th> }.into_any(),
            Column::Number(name) => view! { <th scope="col" class="number">{name}</th> }.into_any(),
        })
        .collect();
    view! {
        <div class="scroll">
            <table class=class>
                <caption class=(!captioned).then_some("visually-hidden")>{caption}</caption>
                <thead>
                    <tr>{head}</tr>
                </thead>
                <tbody>{children()}</tbody>
            </table>
        </div>
    }
}
