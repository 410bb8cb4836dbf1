"""The python program of compare.sh: reads records, groups and sorts them, drops most, repeats."""
import json
import random

random.seed(1)
text = json.dumps([{'name': f'{i:x}' * 40, 'group': random.randrange(500), 'size': random.random(),
                    'note': 'x' * random.randrange(1500)} for i in range(20000)])
kept = []
for turn in range(6):
    groups = {}
    for record in json.loads(text):
        groups.setdefault(record['group'], []).append(record)
    for records in groups.values():
        records.sort(key=lambda r: (r['size'], r['note']))
    kept += [records[0] for records in groups.values()]
print(len(kept), sum(len(r['note']) for r in kept))
