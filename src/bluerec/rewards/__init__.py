"""What a profile is worth: pure scores over arrays, and reward objects that look up what they need."""
