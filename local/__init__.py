"""The same stack on one machine: each cloud service replaced by a real engine behind the service's own interface."""
