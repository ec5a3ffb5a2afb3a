"""What is computed on bars as they close: indicators, and the scores of the promoted model."""
