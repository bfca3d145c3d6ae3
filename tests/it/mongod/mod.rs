//! MongoDB servers of a test's own, to be stopped, frozen and killed: one node or three. The binary
//! is the one that `scripts/services` has fetched.

mod node;
mod set;

pub(crate) use node::Node;
pub(crate) use set::ReplicaSet;
