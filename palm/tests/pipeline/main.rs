//! The pipeline and the guide on made-up hands, made-up faces and noise.

mod any_image;
mod capture;
mod common;
mod guidance;
mod guide;
mod robust;
