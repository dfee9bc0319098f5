//! ConductorOne's connector to Cloudflare.
