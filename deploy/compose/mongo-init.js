// Makes the one-node replica set and the user of meltd. It may run again and again.
const admin = db.getSiblingDB('admin');
admin.auth('root', process.env.MONGO_ROOT_PASSWORD);
try {
  rs.initiate({ _id: 'rs0', members: [{ _id: 0, host: 'mongo:27017' }] });
} catch (error) {
  if (error.codeName !== 'AlreadyInitialized') throw error;
}
for (let tries = 0; !admin.hello().isWritablePrimary; tries += 1) {
  if (tries > 60) throw new Error('the replica set has no primary after a minute');
  sleep(1000);
}
// Its own database, its own sessions, nothing else.
const meltd = db.getSiblingDB('meltd');
const user = { pwd: process.env.MONGO_MELTD_PASSWORD, roles: [{ role: 'readWrite', db: 'meltd' }] };
if (meltd.getUser('meltd')) meltd.updateUser('meltd', user);
else meltd.createUser({ user: 'meltd', ...user });
print('the replica set and the user are there');
