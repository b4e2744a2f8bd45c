//! Speed of the history.
fn main() {}
