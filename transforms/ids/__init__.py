"""What an id means: words for nobody, phone numbers in one form, whose data is left out."""
