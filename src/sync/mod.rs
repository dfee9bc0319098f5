//! The sync: one crawl of the account, published as an immutable snapshot.

// `snapshot` (rows to chunks to manifest, reading it back, differences, sweeping) is complete and tested: build the
// crawl, the mapping and the driver on it.
pub mod snapshot;
