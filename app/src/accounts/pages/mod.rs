//! The way in, and one's own account.

mod account;
mod sign_in;

pub use account::AccountPage;
pub use sign_in::{LinkPage, SignInPage};
