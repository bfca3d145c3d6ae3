//! The event stream as an audit consumer reads it, and what can be done with it.
//!
//! | file | holds |
//! |---|---|
//! | `message` | a message of `MELT_EVENTS`, and what is wrong with it |
//! | `chains` | order, gaps, repeats and hashes, saga by saga |
//! | `read` | the whole stream, page by page |
//! | `tail` | events for somebody who watches |
//! | `heads`, `checkpoint` | signed checkpoints of all saga heads |
//! | `fold` | the public halves folded, and value counted |
//! | `verify` | the stream against itself and against the database |
//! | `compare` | is the stream ahead of the database? |
//! | `bring` | a database that was restored from an old backup is brought forward |

pub mod bring;
pub mod chains;
pub mod checkpoint;
pub mod compare;
mod fold;
pub mod heads;
pub mod message;
pub mod read;
pub mod tail;
pub mod verify;
