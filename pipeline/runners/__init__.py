"""The runners: Beam's own on this machine, made quick and safe, and what Dataflow, Flink and Prism need of a run."""
