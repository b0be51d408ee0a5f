//! Password files and access control lists, and the reasons for each decision.
#![forbid(unsafe_code)]
