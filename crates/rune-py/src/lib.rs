//! `rune_native`: the kernels of `rune-core` for Python. `rune/native.py` is the only importer.

mod pii;

use pyo3::prelude::*;

/// Bytes from which on other Python threads may run meanwhile: letting go costs more than a small scan.
const DETACH: usize = 32 * 1024;

/// Goes up with every change of what Python may call.
const ABI: u32 = 1;

#[pymodule]
fn rune_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI", ABI)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<pii::Pii>()
}
