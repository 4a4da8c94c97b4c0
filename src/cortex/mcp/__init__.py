"""The MCP face: tools, resources and prompts made from the operations."""
