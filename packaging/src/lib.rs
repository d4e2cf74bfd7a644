//! What becomes of the built components: compositions for other platforms, and a package to publish.

pub mod compose;
pub mod metadata;
pub mod sbom;
pub mod staged;
pub mod wit;
