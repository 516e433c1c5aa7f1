"""The studio: a page and an HTTP API on which people paint, and a worker that does the painting.

limits → store → pictures | kinds → jobs → api | page → server → command; the worker, a process of
its own, knows store, pictures, kinds and the core. Server and worker talk through the store only.
"""
