"""`python train.py fit|validate|test|predict --config FILE…`: one run, from YAML alone."""

from plasticity_lab.runs.main import main

if __name__ == "__main__":
    main()
