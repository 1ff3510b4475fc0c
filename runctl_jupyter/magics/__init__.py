"""The notebook door: %runctl and %%runctl, completer, live cards."""
