"""Neural building blocks: batches, blocks, losses and the one trainer."""
