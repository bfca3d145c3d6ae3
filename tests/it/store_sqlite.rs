//! The embedded store: the contract suite, and what only a file can show.
