//! cpio
