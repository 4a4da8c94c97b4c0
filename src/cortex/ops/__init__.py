"""Operations: what Cortex can do, each one a typed request, a typed response and one async function."""
