#![no_main]

duohuo_fuzz::fuzz!();
