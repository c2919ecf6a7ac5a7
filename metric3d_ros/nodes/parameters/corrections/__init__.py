"""What corrects depth: `edges.*`, `sky.*`, `scale.*`, `stability.*`, one module for each prefix."""
