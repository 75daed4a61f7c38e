//! SQL in a `str`: what its statements do.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rune_core::sql::{Dialect, check};

use crate::{away, bytes};

/// A judge for the SQL of one kind of database.
#[pyclass(frozen)]
pub struct Sql {
    dialect: Dialect,
}

#[pymethods]
impl Sql {
    /// `dialect` by its name.
    #[new]
    fn new(dialect: &str) -> PyResult<Self> {
        let found = Dialect::ALL.iter().find(|(name, _)| *name == dialect);
        match found {
            Some(&(_, dialect)) => Ok(Self { dialect }),
            None => Err(pyo3::exceptions::PyValueError::new_err(format!("unknown dialect: {dialect}"))),
        }
    }

    /// The sum of the facts about a text.
    fn check(&self, text: &Bound<'_, PyString>) -> PyResult<u32> {
        let data = bytes(text)?;
        Ok(away(text.py(), &data, |data| check(data, self.dialect)))
    }
}
