"""What training examples look like: deficits and augmentation."""
