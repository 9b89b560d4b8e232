--
-- What the gate decided, and what people said of it: by how sure the model was.
--
SELECT c.bucket AS from, c.bucket_to AS to, c.tier, c.diverted, c.decided, c.reviewed, c.agreed, c.overruled
FROM workflow.gate_calibration AS c;
