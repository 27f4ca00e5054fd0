//! Forms: plain POSTs to server functions, with a label on every field.

use std::fmt::Display;
use std::str::FromStr;

use leptos::prelude::*;
use serde::{Deserialize, Deserializer};

/// A form that posts to a server function, `action=StartCheck::PATH`, and needs no script.
#[component]
pub fn PostForm(
    action: &'static str,
    #[prop(optional)] class: &'static str,
    children: Children,
) -> impl IntoView {
    view! {
        <form method="post" action=action class=class>
            {children()}
        </form>
    }
}

#[component]
pub fn Hidden(name: &'static str, #[prop(into)] value: String) -> impl IntoView {
    view! { <input type="hidden" name=name value=value /> }
}

/// One line of text with its label.
#[component]
pub fn Field(
    name: &'static str,
    #[prop(into)] label: String,
    #[prop(optional)] hint: Option<&'static str>,
    #[prop(default = "text")] kind: &'static str,
    #[prop(optional, into)] value: String,
    #[prop(optional)] autocomplete: Option<&'static str>,
    #[prop(optional)] pattern: Option<String>,
    #[prop(optional)] min_length: Option<u32>,
    #[prop(default = 200)] max_length: u32,
    #[prop(optional)] optional: bool,
) -> impl IntoView {
    view! {
        <label class="field">
            <span class="label">{label}</span>
            <input
                type=kind
                name=name
                value=value
                required=!optional
                autocomplete=autocomplete.unwrap_or("off")
                pattern=pattern
                minlength=min_length
                maxlength=max_length
            />
            {hint.map(|hint| view! { <span class="hint">{hint}</span> })}
        </label>
    }
}

/// Several lines of text with their label.
#[component]
pub fn TextArea(
    name: &'static str,
    #[prop(into)] label: String,
    #[prop(optional)] hint: Option<&'static str>,
    #[prop(optional, into)] value: String,
    #[prop(default = 4)] rows: u32,
    #[prop(default = 10_000)] max_length: u32,
) -> impl IntoView {
    view! {
        <label class="field">
            <span class="label">{label}</span>
            <textarea name=name rows=rows maxlength=max_length required>
                {value}
            </textarea>
            {hint.map(|hint| view! { <span class="hint">{hint}</span> })}
        </label>
    }
}

/// One of several words; each option is its value and its label.
#[component]
pub fn Select(
    #[prop(into)] name: String,
    #[prop(into)] label: String,
    options: Vec<(String, String)>,
    #[prop(optional, into)] selected: String,
) -> impl IntoView {
    let options: Vec<_> = options
        .into_iter()
        .map(|(value, text)| {
            let is_selected = value == selected;
            view! {
                <option value=value selected=is_selected>
                    {text}
                </option>
            }
        })
        .collect();
    view! {
        <label class="field">
            <span class="label">{label}</span>
            <select name=name>{options}</select>
        </label>
    }
}

#[component]
pub fn Submit(#[prop(into)] label: String, #[prop(default = "button")] class: &'static str) -> impl IntoView {
    view! {
        <button type="submit" class=class>
            {label}
        </button>
    }
}

/// Asks before it acts, without a script: the question opens, and only its button acts.
#[component]
pub fn Confirm(
    #[prop(into)] label: String,
    #[prop(into)] question: String,
    children: Children,
) -> impl IntoView {
    view! {
        <details class="confirm">
            <summary class="button danger">{label}</summary>
            <div class="confirm-body">
                <p>{question}</p>
                {children()}
            </div>
        </details>
    }
}

/// For `#[serde(deserialize_with)]`: forms send an empty text where nothing was chosen.
pub fn blank_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    let text = String::deserialize(deserializer)?;
    match text.trim() {
        "" => Ok(None),
        word => word.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salvor_domain::incident::Impact;

    #[derive(Deserialize)]
    struct Wish {
        #[serde(default, deserialize_with = "blank_is_none")]
        impact: Option<Impact>,
    }

    #[test]
    fn an_empty_choice_is_none_and_a_wrong_one_is_named() {
        let read = serde_json::from_str::<Wish>;
        assert_eq!(read(r#"{"impact":""}"#).unwrap().impact, None);
        assert_eq!(read(r#"{"impact":"major"}"#).unwrap().impact, Some(Impact::Major));
        assert!(read(r#"{"impact":"huge"}"#).err().unwrap().to_string().contains("huge"));
    }

    #[test]
    fn a_question_acts_only_through_its_own_button() {
        let html = view! {
            <Confirm label="Cancel…" question="Stop this job?">
                <Submit label="Cancel it" />
            </Confirm>
        }
        .to_html();
        assert!(html.find("<summary").unwrap() < html.find("<button").unwrap());
        assert!(!html.contains("open"), "{html}");
    }
}
