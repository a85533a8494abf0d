//! Scripts of commands, which run line by line and again in batches.

mod changes;
mod harness;
mod inventory;
mod kinds;
mod limits;
mod payment;
mod plain;
mod properties;
mod script;
mod table;
