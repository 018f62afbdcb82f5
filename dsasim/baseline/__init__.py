"""What a design is compared with: dense hardware of the same MACs, or of the same area."""
