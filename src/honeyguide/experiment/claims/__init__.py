"""The papers that can be reproduced: one module each, with its claims."""
