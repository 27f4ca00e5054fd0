//! One page: its heading, what it waits for, and what it says when that does not come.

use std::future::Future;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::problem::Problem;
use crate::ui::api::set_status;

/// Shows what `load` brings, or the problem with its status.
pub fn loaded<T, V>(
    load: impl Future<Output = Result<T, Problem>> + Send + 'static,
    show: impl FnOnce(T) -> V + Send + 'static,
) -> impl IntoView
where
    T: Send + 'static,
    V: IntoView + 'static,
{
    Suspend::new(async move {
        match load.await {
            Ok(data) => show(data).into_any(),
            Err(problem) => view! { <ProblemView problem /> }.into_any(),
        }
    })
}

/// The page's title, and beside it its status.
#[component]
pub fn Heading(#[prop(into)] title: String, #[prop(optional)] children: Option<Children>) -> impl IntoView {
    view! {
        <PageTitle title=title.clone() />
        <header class="heading">
            <h1>{title}</h1>
            {children.map(|children| children())}
        </header>
    }
}

/// In the browser's tab. Absent where a view is rendered on its own, as tests do.
#[component]
pub fn PageTitle(#[prop(into)] title: String) -> impl IntoView {
    use_context::<leptos_meta::MetaContext>().map(|_| view! { <Title text=format!("{title} · Salvor") /> })
}

/// Nothing there yet: says so, and what to do first.
#[component]
pub fn Empty(children: Children) -> impl IntoView {
    view! { <p class="empty">{children()}</p> }
}

/// What a page says when it cannot show what was asked for.
#[component]
pub fn ProblemView(problem: Problem) -> impl IntoView {
    set_status(problem.status());
    let points = match &problem {
        Problem::Conflict { points, .. } => points.clone(),
        _ => Vec::new(),
    };
    view! {
        <Heading title=problem.title() />
        <p>{problem.to_string()}</p>
        <ul>{points.into_iter().map(|point| view! { <li>{point}</li> }).collect::<Vec<_>>()}</ul>
        <p>
            <a href="/console">"Overview"</a>
        </p>
    }
}

#[component]
pub fn NotFound() -> impl IntoView {
    let problem = Problem::NotFound("The console has no page at this address.".into());
    view! { <ProblemView problem /> }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::rendered;

    #[test]
    fn a_problem_says_what_and_offers_a_way_on() {
        let problem = Problem::NotFound("There is no volume \"x\".".into());
        let html = rendered(|| view! { <ProblemView problem /> });
        assert!(
            html.contains("<h1>Not found</h1>")
                && html.contains("no volume")
                && html.contains("href=\"/console\"")
        );
    }
}
