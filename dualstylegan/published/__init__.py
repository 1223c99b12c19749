"""Published checkpoint formats: safe reading, import and export."""
