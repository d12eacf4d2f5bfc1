"""ECS: documents of any vendor in the Elastic Common Schema."""
