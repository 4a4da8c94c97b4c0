"""Measuring Cortex where it runs: figures from a throwaway folder, with the machine named beside them."""
