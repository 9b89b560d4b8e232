--
-- What became of each order, and in which order it was taken back.
--
SELECT i.key, i.state,
       (SELECT string_agg(split_part(e.key, ':', 2) || CASE e.state WHEN 'succeeded' THEN '' ELSE ' ' || e.state END, ', ' ORDER BY e.effect_id)
        FROM workflow.effects AS e WHERE e.item_id = i.item_id AND e.kind <> 'revert') AS done,
       (SELECT string_agg(split_part(e.key, ':', 3) || CASE e.state WHEN 'succeeded' THEN '' ELSE ' ' || e.state END, ', ' ORDER BY e.finished_at)
        FROM workflow.effects AS e WHERE e.item_id = i.item_id AND e.kind = 'revert') AS taken_back
FROM workflow.items AS i WHERE i.workflow = 'order_saga' ORDER BY i.key;
