-- Notifier database of schema version 4.
PRAGMA application_id = 1382641262;
PRAGMA user_version = 4;
PRAGMA journal_mode = wal;
PRAGMA foreign_keys = off;
BEGIN TRANSACTION;
CREATE TABLE account (
            id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE
        );
INSERT INTO "account" VALUES(1,'+862583091001');
INSERT INTO "account" VALUES(2,'+8613800001001');
INSERT INTO "account" VALUES(3,'+862583091002');
INSERT INTO "account" VALUES(4,'+862583091003');
INSERT INTO "account" VALUES(5,'+862583091010');
INSERT INTO "account" VALUES(6,'+862583091004');
INSERT INTO "account" VALUES(7,'+862583091005');
CREATE TABLE alias (
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (account_id, text)
        ) WITHOUT ROWID;
INSERT INTO "alias" VALUES(1,0,'1001');
INSERT INTO "alias" VALUES(1,1,'sip:liming@ims.office.test');
INSERT INTO "alias" VALUES(3,0,'1002');
INSERT INTO "alias" VALUES(3,1,'sip:wangfang@ims.office.test');
INSERT INTO "alias" VALUES(4,0,'1003');
INSERT INTO "alias" VALUES(4,1,'sip:zhaoqiang@ims.office.test');
INSERT INTO "alias" VALUES(5,0,'1010');
INSERT INTO "alias" VALUES(6,0,'1004');
INSERT INTO "alias" VALUES(6,1,'sip:chenjie@ims.office.test');
INSERT INTO "alias" VALUES(7,0,'1005');
INSERT INTO "alias" VALUES(7,1,'sip:sunli@ims.office.test');
CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ms INTEGER NOT NULL,
            who TEXT NOT NULL,
            did TEXT NOT NULL,
            whom TEXT NOT NULL,
            detail TEXT NOT NULL
        );
INSERT INTO "audit" VALUES(1,1795694973321,'root','import','chenjie','added: 陈洁 <chenjie@office.test>, zh-CN, Asia/Shanghai, not subscribed; +862583091004 (办公电话) (1004 sip:chenjie@ims.office.test)');
INSERT INTO "audit" VALUES(2,1795694973321,'root','import','liming','added: 李明 <liming@office.test>, zh-CN, Asia/Shanghai; +862583091001 (办公电话) (1001 sip:liming@ims.office.test); +8613800001001 (手机)');
INSERT INTO "audit" VALUES(3,1795694973321,'root','import','sunli','added: 孙丽 <sunli@office.test>, zh-CN, Asia/Shanghai; +862583091005 (办公电话) (1005 sip:sunli@ims.office.test); +862583091010 (值班电话) (1010)');
INSERT INTO "audit" VALUES(4,1795694973321,'root','import','wangfang','added: 王芳 <wangfang@office.test>, en, Asia/Shanghai; +862583091002 (Office) (1002 sip:wangfang@ims.office.test)');
INSERT INTO "audit" VALUES(5,1795694973321,'root','import','zhaoqiang','added: 赵强 <zhaoqiang@office.test>, zh-CN, Asia/Shanghai; +862583091003 (办公电话) (1003 sip:zhaoqiang@ims.office.test); +862583091010 (值班电话) (1010)');
INSERT INTO "audit" VALUES(6,1795694973321,'root','import','','5 people added, 0 replaced, 0 removed');
INSERT INTO "audit" VALUES(7,1795694973337,'root','directory import','','1 entries added, 0 changed, 0 removed');
INSERT INTO "audit" VALUES(8,1795694973349,'root','user policy','liming','{"declined":true}');
INSERT INTO "audit" VALUES(9,1795694973363,'root','user delivery','wangfang','quiet_hours=22:00-07:00');
INSERT INTO "audit" VALUES(10,1795694973379,'root','user add','anna','added: Anna <anna@office.test>, en, UTC; +862583091099');
INSERT INTO "audit" VALUES(11,1795694973668,'root','user remove','anna','removed');
CREATE TABLE cursor (
            journal TEXT PRIMARY KEY,
            path TEXT NOT NULL,
            seq INTEGER NOT NULL
        );
INSERT INTO "cursor" VALUES('92b7f7660ce23a4f12a9a2d732390a31','./journal.db',11);
CREATE TABLE directory (
            identity TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            department TEXT NOT NULL,
            label TEXT NOT NULL,
            source TEXT NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "directory" VALUES('+8613912345678','张三','采购部','手机','file');
CREATE TABLE gathered (
            outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            caller TEXT,
            held_caller TEXT,
            held_after INTEGER,
            held_until INTEGER,
            PRIMARY KEY (outbox_id, call)
        ) WITHOUT ROWID;
CREATE TABLE known_as (
            identity TEXT PRIMARY KEY,
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE
        ) WITHOUT ROWID;
INSERT INTO "known_as" VALUES('+862583091001',1);
INSERT INTO "known_as" VALUES('sip:liming@ims.office.test',1);
INSERT INTO "known_as" VALUES('+8613800001001',2);
INSERT INTO "known_as" VALUES('+862583091002',3);
INSERT INTO "known_as" VALUES('sip:wangfang@ims.office.test',3);
INSERT INTO "known_as" VALUES('+862583091003',4);
INSERT INTO "known_as" VALUES('sip:zhaoqiang@ims.office.test',4);
INSERT INTO "known_as" VALUES('+862583091010',5);
INSERT INTO "known_as" VALUES('+862583091004',6);
INSERT INTO "known_as" VALUES('sip:chenjie@ims.office.test',6);
INSERT INTO "known_as" VALUES('+862583091005',7);
INSERT INTO "known_as" VALUES('sip:sunli@ims.office.test',7);
CREATE TABLE missed (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            started INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,
            done_ms INTEGER,
            UNIQUE (user_id, call)
        );
INSERT INTO "missed" VALUES(1,3,'ffa8d1855ff6f082278dba3996676e840c3b83825627e9e51299b304ebb37a07','{"call":"ffa8d1855ff6f082278dba3996676e840c3b83825627e9e51299b304ebb37a07","reason":"BUSY","started":"2024-05-06T02:23:50.700000Z","alerted":false,"ring_ms":0,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091003","accounts":["+862583091003"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962230700000,1795694973610,NULL);
INSERT INTO "missed" VALUES(2,1,'cbfb7fdd95d64b235ae85b2bc5f0f32514a4329a075b9b8cd77e7dd544088fb6','{"call":"cbfb7fdd95d64b235ae85b2bc5f0f32514a4329a075b9b8cd77e7dd544088fb6","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:23:41.000000Z","alerted":true,"ring_ms":24620,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962221000000,1795694973610,NULL);
INSERT INTO "missed" VALUES(3,5,'225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e','{"call":"225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:23:55.100000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":null,"name":null,"name_source":"none","withheld":true},"account":"+862583091005","accounts":["+862583091005"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962235100000,1795694973610,NULL);
INSERT INTO "missed" VALUES(4,3,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','{"call":"eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:01.500000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091010","accounts":["+862583091010"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962241500000,1795694973610,NULL);
INSERT INTO "missed" VALUES(5,5,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','{"call":"eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:01.500000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091010","accounts":["+862583091010"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962241500000,1795694973610,NULL);
INSERT INTO "missed" VALUES(6,1,'70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f','{"call":"70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f","reason":"VOICEMAIL","started":"2024-05-06T02:24:08.300000Z","alerted":true,"ring_ms":19610,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962248300000,1795694973610,NULL);
INSERT INTO "missed" VALUES(7,1,'a31a3486e9a57f2e92ad00f2cc165bb613f60ed061b38d33ce15b8e3d42eae7c','{"call":"a31a3486e9a57f2e92ad00f2cc165bb613f60ed061b38d33ce15b8e3d42eae7c","reason":"DECLINED","started":"2024-05-06T02:24:22.600000Z","alerted":true,"ring_ms":7600,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962262600000,1795694973610,NULL);
INSERT INTO "missed" VALUES(8,2,'9b091deb8f762dcd84dcb6b478e75bd19d8371b51754a66a900485d6b1c46ff9','{"call":"9b091deb8f762dcd84dcb6b478e75bd19d8371b51754a66a900485d6b1c46ff9","reason":"AUTO_REJECTED","started":"2024-05-06T02:24:39.800000Z","alerted":false,"ring_ms":0,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091002","accounts":["+862583091002"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962279800000,1795694973610,NULL);
INSERT INTO "missed" VALUES(9,1,'e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c','{"call":"e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:31.400000Z","alerted":true,"ring_ms":14430,"talk_ms":null,"caller":{"identity":"+862583091002","name":"王芳","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962271400000,1795694973610,NULL);
INSERT INTO "missed" VALUES(10,5,'44b0b5529ae9f71c688297063853e4ad42d11d7c94df81a9e11728fb4b4a68b4','{"call":"44b0b5529ae9f71c688297063853e4ad42d11d7c94df81a9e11728fb4b4a68b4","reason":"UNREACHABLE","started":"2024-05-06T02:24:47.400000Z","alerted":false,"ring_ms":0,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091005","accounts":["+862583091005"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962287400000,1795694973610,NULL);
INSERT INTO "missed" VALUES(11,1,'ebb6eda250a48b7249cf3b8e4a1631fda30f2654c4346ad0d8e4b9d1b6a3d8ca','{"call":"ebb6eda250a48b7249cf3b8e4a1631fda30f2654c4346ad0d8e4b9d1b6a3d8ca","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:25:00.000000Z","alerted":true,"ring_ms":17630,"talk_ms":null,"caller":{"identity":"+862583091003","name":"赵强","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962300000000,1795694973610,NULL);
INSERT INTO "missed" VALUES(12,2,'0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f','{"call":"0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:25:14.500000Z","alerted":true,"ring_ms":24620,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"<b>总经理</b>\", http://evil.test/ 321","name_source":"from","withheld":false},"account":"+862583091002","accounts":["+862583091002"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}',1714962314500000,1795694973610,NULL);
CREATE TABLE notified (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            reason TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            PRIMARY KEY (user_id, call)
        ) WITHOUT ROWID;
INSERT INTO "notified" VALUES(1,'70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f','VOICEMAIL',1795694973610);
INSERT INTO "notified" VALUES(1,'a31a3486e9a57f2e92ad00f2cc165bb613f60ed061b38d33ce15b8e3d42eae7c','DECLINED',1795694973610);
INSERT INTO "notified" VALUES(1,'cbfb7fdd95d64b235ae85b2bc5f0f32514a4329a075b9b8cd77e7dd544088fb6','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(1,'e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(1,'ebb6eda250a48b7249cf3b8e4a1631fda30f2654c4346ad0d8e4b9d1b6a3d8ca','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(2,'0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(2,'9b091deb8f762dcd84dcb6b478e75bd19d8371b51754a66a900485d6b1c46ff9','AUTO_REJECTED',1795694973610);
INSERT INTO "notified" VALUES(3,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(3,'ffa8d1855ff6f082278dba3996676e840c3b83825627e9e51299b304ebb37a07','BUSY',1795694973610);
INSERT INTO "notified" VALUES(5,'225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e','CALLER_HUNG_UP',1795694973610);
INSERT INTO "notified" VALUES(5,'44b0b5529ae9f71c688297063853e4ad42d11d7c94df81a9e11728fb4b4a68b4','UNREACHABLE',1795694973610);
INSERT INTO "notified" VALUES(5,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','CALLER_HUNG_UP',1795694973610);
CREATE TABLE opted_out (
            email_hash BLOB PRIMARY KEY,
            at_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "opted_out" VALUES(X'DD6AA1A45075A68A9BB2CE55FF63A680B5425DC1A86D80414D51746694D08236',1795694973667);
CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            call TEXT NOT NULL,
            notice TEXT NOT NULL,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            created_ms INTEGER NOT NULL,
            next_attempt_ms INTEGER NOT NULL,
            done_ms INTEGER,
            last_error TEXT
        , held_caller TEXT, held_after INTEGER, held_until INTEGER, channel TEXT NOT NULL DEFAULT 'mail', kind TEXT NOT NULL DEFAULT 'call', caller TEXT, ended INTEGER, turn INTEGER, tried_ms INTEGER);
INSERT INTO "outbox" VALUES(1,1,'cbfb7fdd95d64b235ae85b2bc5f0f32514a4329a075b9b8cd77e7dd544088fb6','{"call":"cbfb7fdd95d64b235ae85b2bc5f0f32514a4329a075b9b8cd77e7dd544088fb6","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:23:41.000000Z","alerted":true,"ring_ms":24620,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','pending',1,1795694973610,1795694973610,NULL,'transient error (451): 4.2.1 later',NULL,NULL,NULL,'mail','call','+8613912345678',1714962246050000,NULL,1795694973610);
INSERT INTO "outbox" VALUES(2,5,'225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e','{"call":"225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:23:55.100000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":null,"name":null,"name_source":"none","withheld":true},"account":"+862583091005","accounts":["+862583091005"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','pending',1,1795694973610,1795694973610,NULL,'transient error (451): 4.2.1 later',NULL,NULL,NULL,'mail','call',NULL,1714962247150000,NULL,1795694973610);
INSERT INTO "outbox" VALUES(3,3,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','{"call":"eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:01.500000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091010","accounts":["+862583091010"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','pending',1,1795694973610,1795694973610,NULL,'transient error (451): 4.2.1 later',NULL,NULL,NULL,'mail','call','+861085091234',1714962253550000,NULL,1795694973610);
INSERT INTO "outbox" VALUES(4,5,'eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893','{"call":"eb9e887ee0b381d99a96ecce2b936a4c4c4bc1912eaa0b87f74c6ca839df6893","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:01.500000Z","alerted":true,"ring_ms":11620,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091010","accounts":["+862583091010"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','dead',1,1795694973610,1795694973610,1795694973634,'permanent error (550): 5.1.1 no',NULL,NULL,NULL,'mail','call','+861085091234',1714962253550000,1,NULL);
INSERT INTO "outbox" VALUES(5,1,'70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f','{"call":"70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f","reason":"VOICEMAIL","started":"2024-05-06T02:24:08.300000Z","alerted":true,"ring_ms":19610,"talk_ms":null,"caller":{"identity":"+861085091234","name":null,"name_source":"none","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','dead',1,1795694973610,1795694973610,1795694973639,'permanent error (550): 5.1.1 no',NULL,NULL,NULL,'mail','call','+861085091234',1714962268350000,1,NULL);
INSERT INTO "outbox" VALUES(6,1,'a31a3486e9a57f2e92ad00f2cc165bb613f60ed061b38d33ce15b8e3d42eae7c','{"call":"a31a3486e9a57f2e92ad00f2cc165bb613f60ed061b38d33ce15b8e3d42eae7c","reason":"DECLINED","started":"2024-05-06T02:24:22.600000Z","alerted":true,"ring_ms":7600,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973642,NULL,NULL,NULL,NULL,'mail','call','+8613912345678',1714962270600000,2,NULL);
INSERT INTO "outbox" VALUES(7,2,'9b091deb8f762dcd84dcb6b478e75bd19d8371b51754a66a900485d6b1c46ff9','{"call":"9b091deb8f762dcd84dcb6b478e75bd19d8371b51754a66a900485d6b1c46ff9","reason":"AUTO_REJECTED","started":"2024-05-06T02:24:39.800000Z","alerted":false,"ring_ms":0,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091002","accounts":["+862583091002"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973635,NULL,NULL,NULL,NULL,'mail','call','+8613912345678',1714962280100000,0,NULL);
INSERT INTO "outbox" VALUES(8,1,'e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c','{"call":"e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:24:31.400000Z","alerted":true,"ring_ms":14430,"talk_ms":null,"caller":{"identity":"+862583091002","name":"王芳","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973649,NULL,NULL,NULL,NULL,'mail','call','+862583091002',1714962286250000,3,NULL);
INSERT INTO "outbox" VALUES(9,5,'44b0b5529ae9f71c688297063853e4ad42d11d7c94df81a9e11728fb4b4a68b4','{"call":"44b0b5529ae9f71c688297063853e4ad42d11d7c94df81a9e11728fb4b4a68b4","reason":"UNREACHABLE","started":"2024-05-06T02:24:47.400000Z","alerted":false,"ring_ms":0,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"Zhang San","name_source":"asserted","withheld":false},"account":"+862583091005","accounts":["+862583091005"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973646,NULL,NULL,NULL,NULL,'mail','call','+8613912345678',1714962319500000,2,NULL);
INSERT INTO "outbox" VALUES(10,1,'ebb6eda250a48b7249cf3b8e4a1631fda30f2654c4346ad0d8e4b9d1b6a3d8ca','{"call":"ebb6eda250a48b7249cf3b8e4a1631fda30f2654c4346ad0d8e4b9d1b6a3d8ca","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:25:00.000000Z","alerted":true,"ring_ms":17630,"talk_ms":null,"caller":{"identity":"+862583091003","name":"赵强","name_source":"asserted","withheld":false},"account":"+862583091001","accounts":["+862583091001"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973648,NULL,NULL,NULL,NULL,'mail','call','+862583091003',1714962318050000,4,NULL);
INSERT INTO "outbox" VALUES(11,2,'0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f','{"call":"0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f","reason":"CALLER_HUNG_UP","started":"2024-05-06T02:25:14.500000Z","alerted":true,"ring_ms":24620,"talk_ms":null,"caller":{"identity":"+8613912345678","name":"<b>总经理</b>\", http://evil.test/ 321","name_source":"from","withheld":false},"account":"+862583091002","accounts":["+862583091002"],"forwarded_to":null,"group":null,"via":null,"partial":false,"conference":false,"psap":false}','sent',1,1795694973610,1795694973610,1795694973640,NULL,NULL,NULL,NULL,'mail','call','+8613912345678',1714962339550000,1,NULL);
CREATE TABLE owner (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            label TEXT NOT NULL,
            PRIMARY KEY (user_id, account_id)
        ) WITHOUT ROWID;
INSERT INTO "owner" VALUES(1,1,0,'办公电话');
INSERT INTO "owner" VALUES(1,2,1,'手机');
INSERT INTO "owner" VALUES(2,3,0,'Office');
INSERT INTO "owner" VALUES(3,4,0,'办公电话');
INSERT INTO "owner" VALUES(3,5,1,'值班电话');
INSERT INTO "owner" VALUES(4,6,0,'办公电话');
INSERT INTO "owner" VALUES(5,5,1,'值班电话');
INSERT INTO "owner" VALUES(5,7,0,'办公电话');
CREATE TABLE reached (
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            caller TEXT NOT NULL,
            started INTEGER NOT NULL,
            at_ms INTEGER NOT NULL, back INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (user_id, caller, started)
        ) WITHOUT ROWID;
CREATE TABLE secret (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "secret" VALUES('opted_out',X'93296EC87C9B2BAD784BB1932519B4395B9D85D87373FD913F556F4C590D7CEA');
CREATE TABLE token (
            hash BLOB PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
            purpose TEXT NOT NULL,
            made_ms INTEGER NOT NULL,
            expires_ms INTEGER NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "token" VALUES(X'00112233',1,'session',1795669217549,1795769217549);
CREATE TABLE user (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            email TEXT NOT NULL,
            locale TEXT NOT NULL,
            timezone TEXT NOT NULL,
            subscribed INTEGER NOT NULL,
            policy TEXT
        , quiet_hours TEXT, channels TEXT, source TEXT NOT NULL DEFAULT 'file', own_locale TEXT, muted TEXT, opted_out_ms INTEGER, links_from_ms INTEGER);
INSERT INTO "user" VALUES(1,'liming','李明','liming@office.test','zh-CN','Asia/Shanghai',1,'{"declined":true}',NULL,NULL,'file',NULL,NULL,NULL,NULL);
INSERT INTO "user" VALUES(2,'wangfang','王芳','wangfang@office.test','en','Asia/Shanghai',1,NULL,'off',NULL,'file',NULL,NULL,NULL,NULL);
INSERT INTO "user" VALUES(3,'zhaoqiang','赵强','zhaoqiang@office.test','zh-CN','Asia/Shanghai',1,NULL,NULL,NULL,'file','en','["BUSY"]',NULL,NULL);
INSERT INTO "user" VALUES(4,'chenjie','陈洁','chenjie@office.test','zh-CN','Asia/Shanghai',0,NULL,NULL,NULL,'file',NULL,NULL,NULL,NULL);
INSERT INTO "user" VALUES(5,'sunli','孙丽','sunli@office.test','zh-CN','Asia/Shanghai',1,NULL,NULL,NULL,'file',NULL,NULL,NULL,NULL);
CREATE INDEX owner_account ON owner (account_id);
CREATE INDEX known_as_account ON known_as (account_id);
CREATE INDEX outbox_held ON outbox (user_id, held_caller)
            WHERE state = 'pending' AND held_caller IS NOT NULL;
CREATE INDEX reached_at ON reached (at_ms);
CREATE INDEX outbox_waiting ON outbox (next_attempt_ms) WHERE state = 'pending' AND turn IS NULL;
CREATE INDEX outbox_turn ON outbox (channel, turn, id) WHERE state = 'pending' AND turn IS NOT NULL;
CREATE INDEX outbox_user_turn ON outbox (user_id, channel, turn) WHERE state = 'pending' AND turn IS NOT NULL;
CREATE INDEX outbox_open ON outbox (created_ms) WHERE state = 'pending';
CREATE INDEX outbox_bundle ON outbox (user_id, channel) WHERE state = 'pending' AND kind != 'call';
CREATE INDEX outbox_recent ON outbox (user_id, channel, created_ms);
CREATE INDEX outbox_of_caller ON outbox (user_id, caller, ended) WHERE kind = 'call' AND caller IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (id) WHERE state = 'dead';
CREATE INDEX outbox_done ON outbox (done_ms) WHERE state != 'pending';
CREATE INDEX gathered_held ON gathered (held_caller) WHERE held_caller IS NOT NULL;
CREATE INDEX missed_of_user ON missed (user_id, started, id, done_ms);
CREATE INDEX missed_at ON missed (at_ms);
CREATE INDEX token_of_user ON token (user_id);
CREATE INDEX token_expires ON token (expires_ms);
CREATE INDEX audit_at ON audit (at_ms);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',11);
INSERT INTO "sqlite_sequence" VALUES('outbox',11);
COMMIT;
