"""How things look without a widget: text, HTML twin, mime bundle."""
