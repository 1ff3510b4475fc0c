"""The door of the Jupyter server: answers panels over HTTP and a WebSocket, no kernel needed."""
