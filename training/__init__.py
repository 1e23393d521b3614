"""Training, evaluation and data for LapCVAE models. Needs PyTorch; the runtime (`lapcvae`) never imports this."""
