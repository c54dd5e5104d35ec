//! The Python module `bridge.media._native`: argument checks, one command a method, and events as objects. The
//! interpreter lock is never taken by the relay thread; what is declared in `_native.pyi` is what is here.

mod arguments;
mod crowd;
mod events;
mod relay;

use bridge_relay_core::api::TRANSIT_BOUNDS_US;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("TRANSIT_BOUNDS_US", PyTuple::new(module.py(), TRANSIT_BOUNDS_US)?)?;
    module.add_class::<relay::Relay>()?;
    arguments::register(module)?;
    events::register(module)?;
    crowd::register(module)?;
    add_aliases(module)?;
    // PyO3 makes one of all names; the stub has none, and without it every public name is exported just the same.
    module.delattr("__all__")
}

/// The type aliases of the stub, so that code may import them when it runs, too.
fn add_aliases(module: &Bound<'_, PyModule>) -> PyResult<()> {
    add_names(module, "Codec", &arguments::CODECS)?;
    add_names(module, "Kind", &arguments::KINDS)?;
    add_names(module, "Profile", &arguments::PROFILES)?;
    let [first, rest @ ..] = events::kinds(module.py());
    let event = rest.iter().try_fold(first.into_any(), |union, kind| union.bitor(kind))?;
    module.add("Event", event)?;
    let [first, rest @ ..] = crowd::kinds(module.py());
    let event = rest.iter().try_fold(first.into_any(), |union, kind| union.bitor(kind))?;
    module.add("CrowdEvent", event)
}

/// A `Literal` of the table's names, in the form of a union: the one that stubtest takes for the same.
fn add_names<T>(module: &Bound<'_, PyModule>, alias: &str, table: &[(&str, T)]) -> PyResult<()> {
    let typing = module.py().import("typing")?;
    let literal = typing.getattr("Literal")?;
    let names = table.iter().map(|(name, _)| literal.get_item(name)).collect::<PyResult<Vec<_>>>()?;
    module.add(alias, typing.getattr("Union")?.get_item(PyTuple::new(module.py(), names)?)?)
}
