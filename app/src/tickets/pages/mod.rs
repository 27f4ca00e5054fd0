//! The operators' desk: the queue, and one ticket.

mod queue;
mod ticket;

pub use queue::{QueuePage, lines};
pub use ticket::TicketPage;
