from autoscaling.loads import all_loads
from autoscaling.compare import *
import sys,time
rows=list(HEAD)
for load in all_loads(1):
    if len(sys.argv)>1 and load.name not in sys.argv[1:]: continue
    for p in POLICIES:
        t=time.time(); tally=run(load,p,1); 
        rows.append(row(load.name,p.name,tally)); print(load.name,p.name,len(load.arrivals),round(time.time()-t,1),tally.unfinished,file=sys.stderr)
print(table(rows))
